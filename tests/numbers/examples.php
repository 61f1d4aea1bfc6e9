<?php

/**
 * The CRM module's normaliser against the shared table of examples: `php tests/numbers/examples.php`. Needs
 * lib/Number/plans.php (`cargo run --example numbering-plans -- --php`).
 */

declare(strict_types=1);

use PinCalls\Number\NumberPlans;
use PinCalls\Number\NumberReading;
use PinCalls\Number\NumberResolver;

$folder = __DIR__ . '/../../packaging/vtiger/modules/Calls/lib/Number/';
foreach (['NumberReading', 'NumberPlans', 'NumberResolver'] as $class) {
    require $folder . $class . '.php';
}

$wrong = 0;
$rows = 0;
foreach (file(__DIR__ . '/examples.tsv', FILE_IGNORE_NEW_LINES) as $at => $line) {
    if ($line[0] === '#') {
        continue;
    }
    [$region, $raw, $e164, , , $extension, $byLastDigits] = explode("\t", $line);
    $raw = json_decode('"' . $raw . '"', false, 2, JSON_THROW_ON_ERROR);
    [$iso, $area] = explode(':', "$region:");
    $reading = NumberReading::of($raw);
    $isNumber = $reading->shape === NumberReading::NUMBER;
    $found = $isNumber ? (new NumberResolver($iso, $area))->resolve($reading) : null;
    $special = $found !== null && (NumberPlans::is($found[0], 'toll_free', $found[1]) || NumberPlans::is($found[0], 'service', $found[1]));
    $isLong = strlen($reading->digits) >= NumberReading::NUMBER_DIGITS_MIN;
    // Where no region is known, what looks toll-free counts as such.
    $looksFree = $iso === '-' && preg_match('/^[810]?800/', $reading->digits) === 1 && $found === null;
    $mayMatch = $isNumber && ($found !== null ? !$special : $isLong && !$reading->doubtful && !$looksFree);
    $got = [
        $found === null ? '-' : '+' . $found[0] . $found[1],
        $reading->extension === '' ? '-' : $reading->extension,
        $mayMatch ? 'yes' : 'no',
    ];
    $rows++;
    if ($got !== [$e164, $extension, $byLastDigits]) {
        $wrong++;
        printf("line %d: %s %s\n   got %s\nwanted %s\n", $at + 1, $region, json_encode($raw, JSON_UNESCAPED_UNICODE), implode(' ', $got), "$e164 $extension $byLastDigits");
    }
}
printf("%d examples, %d wrong\n", $rows, $wrong);
exit($wrong === 0 && $rows >= 80 ? 0 : 1);
