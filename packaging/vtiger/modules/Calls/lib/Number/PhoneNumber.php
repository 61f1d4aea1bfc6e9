<?php

/**
 * A phone number as it is compared: E.164 where the region allows one to be made, else its last digits, else not at all. The
 * table tests/numbers/examples.tsv holds this and the connector's Rust code to the same answers.
 */

declare(strict_types=1);

namespace PinCalls\Number;

final class PhoneNumber
{
    /** Fewer digits than this are a person's extension or a service, never a client. */
    private const DIGITS_MIN = 7;
    private const E164_DIGITS_MAX = 15;

    /** `+79161234567`, or empty. */
    public string $e164 = '';
    /** The digits alone as they were written, without what stands behind an extension mark. */
    public string $digits = '';
    /** Digits dialled after the answer (доб. 12). */
    public string $extension = '';
    /** 8-800, 112, `*11`: compared as a whole or not at all, never by last digits. */
    public bool $special = false;

    public static function parse(string $written, string $iso): self
    {
        $number = new self();
        $text = trim((string) preg_replace('/^\s*(tel|sip|callto):/i', '', $written));
        $text = (string) preg_replace('/[@;].*$/s', '', $text);
        $mark = '/[\s,;(]*(?:доб(?:авочный)?|вн(?:утр)?|ext(?:ension)?|x|х|,)[\s.:№#]*([\d\s-]{1,12})\)?\s*$/iu';
        if (preg_match($mark, $text, $part, PREG_OFFSET_CAPTURE) && $part[0][1] > 0) {
            $number->extension = (string) preg_replace('/\D/', '', $part[1][0]);
            $text = substr($text, 0, $part[0][1]);
        }
        if (preg_match('/[*#]/', $text)) {
            $number->special = true;
            $number->digits = (string) preg_replace('/[^\d*#]/', '', $text);
            return $number;
        }
        $international = strpos((string) preg_replace('/[\s(]/', '', $text), '+') === 0;
        $number->digits = (string) preg_replace('/\D/', '', $text);
        $number->special = strlen($number->digits) < self::DIGITS_MIN;
        if (!$number->special) {
            $number->e164 = $number->toE164($international, Region::of($iso));
            $number->special = self::isFreephone($number->e164);
        }
        return $number;
    }

    /** What two writings of one number have in common: E.164 or the digits; empty where there is nothing to compare. */
    public function key(): string
    {
        return $this->e164 ?: $this->digits;
    }

    /** The last digits to compare by, empty where that would be wrong. */
    public function tail(int $lastDigits): string
    {
        $lastDigits = max(self::DIGITS_MIN, $lastDigits);
        if ($this->special || strlen($this->digits) < self::DIGITS_MIN) {
            return '';
        }
        return substr($this->digits, -$lastDigits);
    }

    private static function isFreephone(string $e164): bool
    {
        return strpos($e164, '+7800') === 0 || strpos($e164, '+3758201') === 0;
    }

    private function toE164(bool $international, ?Region $region): string
    {
        $digits = $this->digits;
        if ($international) {
            return self::withinE164($digits);
        }
        if ($region === null) {
            return '';
        }
        foreach ($region->internationalPrefixes as $prefix) {
            $rest = substr($digits, strlen($prefix));
            if (strpos($digits, $prefix) === 0 && strlen($rest) > max($region->lengths) - 2 && $rest[0] !== '0') {
                return self::withinE164($rest);
            }
        }
        foreach ($region->trunkPrefixes as $prefix) {
            $rest = substr($digits, strlen($prefix));
            if (strpos($digits, $prefix) === 0 && in_array(strlen($rest), $region->lengths, true)) {
                return '+' . $region->country . $rest;
            }
        }
        $rest = substr($digits, strlen($region->country));
        if (strpos($digits, $region->country) === 0 && in_array(strlen($rest), $region->lengths, true)) {
            return '+' . $digits;
        }
        $whole = in_array(strlen($digits), $region->lengths, true) && strlen($digits) > self::DIGITS_MIN;
        // A national number written without its trunk prefix is taken for one only where it cannot begin with that prefix.
        return $whole ? '+' . $region->country . $digits : '';
    }

    private static function withinE164(string $digits): string
    {
        $length = strlen($digits);
        if ($length < self::DIGITS_MIN || $length > self::E164_DIGITS_MAX || $digits[0] === '0') {
            return '';
        }
        return '+' . $digits;
    }
}
