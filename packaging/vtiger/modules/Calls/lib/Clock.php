<?php

/** What time it is, as a value that tests set. */

declare(strict_types=1);

namespace PinCalls;

class Clock
{
    /** Unix seconds, with fractions. */
    public function now(): float
    {
        return microtime(true);
    }

    /** RFC 3339 in UTC with milliseconds, as on the wire. */
    public function wire(): string
    {
        return self::toWire($this->now());
    }

    /** `Y-m-d H:i:s` in UTC, as vTiger's tables keep date-times. */
    public function database(): string
    {
        return gmdate('Y-m-d H:i:s', (int) $this->now());
    }

    public static function toWire(float $unixSeconds): string
    {
        $milliseconds = (int) round($unixSeconds * 1000);
        return gmdate('Y-m-d\TH:i:s', intdiv($milliseconds, 1000)) . sprintf('.%03dZ', $milliseconds % 1000);
    }

    /** RFC 3339 to unix seconds; null for anything else. */
    public static function fromWire(string $text): ?float
    {
        $shape = '/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/';
        if (!preg_match($shape, $text, $part)) {
            return null;
        }
        $moment = date_create_immutable($part[1] . ' ' . $part[2] . ($part[4] === 'Z' ? '+00:00' : $part[4]));
        if ($moment === false || $moment->format('Y-m-d') !== $part[1]) {
            return null;
        }
        return $moment->getTimestamp() + ($part[3] === '' ? 0.0 : (float) ('0' . $part[3]));
    }
}
