<?php

/**
 * The numbering plans of the world: what may be a number, and how numbers are dialled in a country. The data stand in plans.php, which
 * the connector's build writes (`cargo run --example numbering-plans -- --php`): the same plans as the connector's own table.
 */

declare(strict_types=1);

namespace PinCalls\Number;

final class NumberPlans
{
    /** @var array{codes: array<int, array<string, mixed>>, regions: array<string, array<string, mixed>>}|null */
    private static ?array $plans = null;

    /** @return array{codes: array<int, array<string, mixed>>, regions: array<string, array<string, mixed>>} */
    private static function all(): array
    {
        // Kept by opcache: an array of constants costs nothing to load.
        return self::$plans ??= require __DIR__ . '/plans.php';
    }

    /** @return array<string, mixed>|null */
    public static function region(string $iso): ?array
    {
        return self::all()['regions'][strtoupper($iso)] ?? null;
    }

    /** @return list<string> */
    public static function regions(): array
    {
        return array_keys(self::all()['regions']);
    }

    /** @return array{0: int, 1: string}|null calling code and national number; no code is the beginning of another */
    public static function split(string $digits): ?array
    {
        for ($length = 1; $length <= 3 && $length <= strlen($digits) && $digits[0] !== '0'; $length++) {
            $code = (int) substr($digits, 0, $length);
            if (isset(self::all()['codes'][$code])) {
                return [$code, substr($digits, $length)];
            }
        }
        return null;
    }

    public static function is(int $code, string $kind, string $national): bool
    {
        return self::matches(self::all()['codes'][$code][$kind] ?? '', $national);
    }

    /** The plan has a range for this very number. */
    public static function isAssigned(int $code, string $national): bool
    {
        foreach (['mobile', 'fixed', 'toll_free', 'service', 'nomadic'] as $kind) {
            if (self::is($code, $kind, $national)) {
                return true;
            }
        }
        return false;
    }

    /** What is dialled before a national number at home. */
    public static function homePrefix(int $code, string $national): string
    {
        foreach (self::all()['codes'][$code]['formats'] as [$leading, $pattern, $prefix]) {
            if (preg_match("/^(?:$leading)/", $national) && self::matches($pattern, $national)) {
                return $prefix;
            }
        }
        return '';
    }

    /** What is stripped before a national number in one of the countries with this calling code. */
    public static function stripOf(int $code): string
    {
        foreach (self::all()['regions'] as $region) {
            if ($region['code'] === $code && $region['national_prefix']) {
                return $region['strip'];
            }
        }
        return '';
    }

    public static function matches(string $pattern, string $digits): bool
    {
        return $pattern !== '' && preg_match("/^(?:$pattern)$/D", $digits) === 1;
    }

    /** @return list<string> what may follow a beginning that matches, the shortest first */
    public static function behind(string $pattern, string $digits): array
    {
        $rests = [];
        for ($length = min(strlen($digits), 31); $pattern !== '' && $length > 0; $length--) {
            if (self::matches($pattern, substr($digits, 0, $length))) {
                $rests[] = substr($digits, $length);
            }
        }
        return $rests;
    }
}
