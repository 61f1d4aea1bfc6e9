<?php

/**
 * A phone number as it is compared: E.164 where one can be made, else its last digits, else not at all. Reading and numbering plans
 * are NumberReading and NumberResolver, which give the connector's answers.
 */

declare(strict_types=1);

namespace PinCalls\Number;

final class PhoneNumber
{
    /** `+79161234567`, or empty. */
    public string $e164 = '';
    /** The digits as they were written, without what stands behind an extension mark. */
    public string $digits = '';
    /** Digits dialled after the answer (доб. 12). */
    public string $extension = '';
    /** 8-800, 112, `*11`, anything shorter than seven digits: compared as a whole or not at all. */
    private bool $neverByTail = true;

    /** @param string $iso country, empty where nobody has told it yet; then only numbers with a plus become E.164 */
    public static function parse(string $written, string $iso, string $areaCode = ''): self
    {
        $number = new self();
        $reading = NumberReading::of($written);
        $number->digits = $reading->digits;
        $number->extension = $reading->extension;
        if ($reading->shape !== NumberReading::NUMBER) {
            return $number;
        }
        $found = (new NumberResolver($iso, $areaCode))->resolve($reading);
        if ($found !== null) {
            $number->e164 = '+' . $found[0] . $found[1];
            $number->neverByTail = NumberPlans::is($found[0], 'toll_free', $found[1])
                || NumberPlans::is($found[0], 'service', $found[1]);
            return $number;
        }
        $looksFree = $iso === '' && preg_match('/^[810]?800/', $reading->digits) === 1;
        $isLong = strlen($reading->digits) >= NumberReading::NUMBER_DIGITS_MIN;
        $number->neverByTail = !$isLong || $reading->doubtful || $looksFree;
        return $number;
    }

    /** What two writings of one number have in common: E.164 or the digits; empty where there is nothing to compare. */
    public function key(): string
    {
        return $this->e164 !== '' ? $this->e164 : $this->digits;
    }

    /** The last digits to compare by, empty where that would be wrong. */
    public function tail(int $lastDigits): string
    {
        return $this->neverByTail ? '' : substr($this->digits, -max(NumberReading::NUMBER_DIGITS_MIN, $lastDigits));
    }
}
