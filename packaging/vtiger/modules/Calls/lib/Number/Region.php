<?php

/** How numbers are dialled within a country: what the normaliser needs to know of it, and no more. */

declare(strict_types=1);

namespace PinCalls\Number;

final class Region
{
    /** Country code, trunk prefixes, international prefixes, lengths of a national number without its trunk prefix. */
    private const TABLE = [
        'RU' => ['7', ['8'], ['810'], [10]],
        'KZ' => ['7', ['8'], ['810'], [10]],
        'BY' => ['375', ['80', '8'], ['810', '00'], [9]],
        'UA' => ['380', ['0'], ['00'], [9]],
        'AM' => ['374', ['0'], ['00'], [8]],
        'AZ' => ['994', ['0'], ['00'], [9]],
        'GE' => ['995', ['0'], ['00'], [9]],
        'KG' => ['996', ['0'], ['00'], [9]],
        'MD' => ['373', ['0'], ['00'], [8]],
        'TJ' => ['992', ['8'], ['810'], [9]],
        'TM' => ['993', ['8'], ['810'], [8]],
        'UZ' => ['998', ['8'], ['810'], [9]],
        'DE' => ['49', ['0'], ['00'], [7, 8, 9, 10, 11]],
        'AT' => ['43', ['0'], ['00'], [7, 8, 9, 10, 11, 12, 13]],
        'CH' => ['41', ['0'], ['00'], [9]],
        'FR' => ['33', ['0'], ['00'], [9]],
        'GB' => ['44', ['0'], ['00'], [9, 10]],
        'NL' => ['31', ['0'], ['00'], [9]],
        'BE' => ['32', ['0'], ['00'], [8, 9]],
        'FI' => ['358', ['0'], ['00'], [6, 7, 8, 9, 10]],
        'SE' => ['46', ['0'], ['00'], [7, 8, 9]],
        'TR' => ['90', ['0'], ['00'], [10]],
        'IL' => ['972', ['0'], ['00'], [8, 9]],
        'CN' => ['86', ['0'], ['00'], [10, 11]],
        'IN' => ['91', ['0'], ['00'], [10]],
        'PL' => ['48', [], ['00'], [9]],
        'CZ' => ['420', [], ['00'], [9]],
        'ES' => ['34', [], ['00'], [9]],
        'IT' => ['39', [], ['00'], [6, 7, 8, 9, 10, 11]],
        'NO' => ['47', [], ['00'], [8]],
        'DK' => ['45', [], ['00'], [8]],
        'EE' => ['372', [], ['00'], [7, 8]],
        'LV' => ['371', [], ['00'], [8]],
        'LT' => ['370', ['0', '8'], ['00'], [8]],
        'US' => ['1', ['1'], ['011'], [10]],
        'CA' => ['1', ['1'], ['011'], [10]],
    ];

    public string $country;
    /** @var list<string> longest first */
    public array $trunkPrefixes;
    /** @var list<string> */
    public array $internationalPrefixes;
    /** @var list<int> */
    public array $lengths;

    public static function of(string $iso): ?self
    {
        $row = self::TABLE[strtoupper($iso)] ?? null;
        if ($row === null) {
            return null;
        }
        $region = new self();
        [$region->country, $region->trunkPrefixes, $region->internationalPrefixes, $region->lengths] = $row;
        return $region;
    }

    /** @return list<string> */
    public static function known(): array
    {
        return array_keys(self::TABLE);
    }
}
