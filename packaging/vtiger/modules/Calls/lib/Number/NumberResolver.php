<?php

/**
 * Decides which number the digits are: tries the readings that the numbering plans allow, the surest first. The connector's
 * src/phone/resolve.rs, step by step; the reasons stand there.
 */

declare(strict_types=1);

namespace PinCalls\Number;

final class NumberResolver
{
    private const BARE_INTERNATIONAL_MIN = 10;
    private const E164_DIGITS_MAX = 15;

    private string $areaCode;
    /** @var array<string, mixed>|null */
    private ?array $region;

    public function __construct(string $iso, string $areaCode = '')
    {
        $this->region = NumberPlans::region($iso);
        $this->areaCode = $areaCode;
    }

    /** @return array{0: int, 1: string}|null calling code and national number */
    public function resolve(NumberReading $reading): ?array
    {
        $found = $this->number($reading, $reading->digits);
        if ($found === null && $reading->beforeSlash >= NumberReading::NUMBER_DIGITS_MIN) {
            $found = $this->number($reading, substr($reading->digits, 0, $reading->beforeSlash));
        }
        return $found;
    }

    /** @return array{0: int, 1: string}|null */
    private function number(NumberReading $reading, string $digits): ?array
    {
        if ($reading->plus) {
            $found = $this->international($digits, true) ?? $this->international($digits, false);
            $found ??= $this->region !== null ? $this->national($digits, true) : null;
        } else {
            $found = $this->region !== null ? $this->atHome($digits) : null;
        }
        if ($found !== null && $reading->doubtful && !NumberPlans::isAssigned(...$found)) {
            return null;
        }
        return $found;
    }

    private function atHome(string $digits): ?array
    {
        return $this->abroad($digits, true)
            ?? $this->national($digits, true)
            ?? $this->bareInternational($digits)
            ?? $this->abroad($digits, false)
            ?? $this->national($digits, false);
    }

    private function abroad(string $digits, bool $assigned): ?array
    {
        foreach (NumberPlans::behind($this->region['international'], $digits) as $rest) {
            if (($found = $this->international($rest, $assigned)) !== null) {
                return $found;
            }
        }
        return strncmp($digits, '00', 2) === 0 ? $this->international(substr($digits, 2), true) : null;
    }

    private function national(string $digits, bool $assigned): ?array
    {
        if (!$this->region['national_prefix']) {
            return $this->bare($digits, $assigned)
                ?? $this->prefixed($digits, $assigned)
                ?? $this->local($digits)
                ?? $this->withOwnCode($digits, $assigned);
        }
        if (NumberPlans::behind($this->region['strip'], $digits) !== []) {
            return $this->prefixed($digits, $assigned)
                ?? $this->local($digits)
                ?? $this->bare($digits, true)
                ?? $this->withOwnCode($digits, $assigned);
        }
        return $this->withOwnCode($digits, $assigned)
            ?? $this->local($digits)
            ?? $this->bare($digits, $assigned)
            ?? $this->withMobileInfix($digits, $assigned);
    }

    private function prefixed(string $digits, bool $assigned): ?array
    {
        foreach (NumberPlans::behind($this->region['strip'], $digits) as $national) {
            $found = $this->own($national, $assigned) ?? $this->withMobileInfix($national, $assigned);
            if ($found !== null) {
                return $found;
            }
        }
        return null;
    }

    private function bare(string $digits, bool $assigned): ?array
    {
        $found = $this->own($digits, $assigned);
        if ($found === null || strlen($digits) >= $this->region['shortest_bare']) {
            return $found;
        }
        $isMobile = NumberPlans::is($found[0], 'mobile', $digits) && !NumberPlans::is($found[0], 'fixed', $digits);
        $isWhole = NumberPlans::isAssigned(...$found) && NumberPlans::homePrefix(...$found) === '';
        return ($isMobile || $isWhole) && strlen($digits) >= NumberReading::NUMBER_DIGITS_MIN ? $found : null;
    }

    private function own(string $national, bool $assigned): ?array
    {
        return self::accepted($this->region['code'], $national, $assigned);
    }

    private function withOwnCode(string $digits, bool $assigned): ?array
    {
        $split = NumberPlans::split($digits);
        $isOwn = $split !== null && $split[0] === $this->region['code'] && strlen($digits) >= self::BARE_INTERNATIONAL_MIN;
        return $isOwn ? $this->international($digits, $assigned) : null;
    }

    private function local(string $digits): ?array
    {
        if (NumberPlans::matches($this->region['complete'], $digits)) {
            return $this->own($this->region['complete_with'] . $digits, true);
        }
        $length = strlen($digits);
        $isLocal = $this->areaCode !== '' && $length >= 5 && $length <= 8 && $digits[0] !== '0';
        $isService = strncmp($digits, '11', 2) === 0 && $length < 7;
        return $isLocal && !$isService ? $this->own($this->areaCode . $digits, true) : null;
    }

    private function withMobileInfix(string $national, bool $assigned): ?array
    {
        if (!$this->region['mobile_infix'] || strlen($national) < 12) {
            return null;
        }
        for ($area = 2; $area <= 4; $area++) {
            if (substr($national, $area, 2) === '15') {
                $found = $this->own('9' . substr($national, 0, $area) . substr($national, $area + 2), $assigned);
                if ($found !== null && NumberPlans::is($found[0], 'mobile', $found[1])) {
                    return $found;
                }
            }
        }
        return null;
    }

    private function international(string $digits, bool $assigned): ?array
    {
        $split = NumberPlans::split($digits);
        if ($split === null) {
            return null;
        }
        [$code, $national] = $split;
        $found = self::accepted($code, $national, $assigned);
        if ($found === null) {
            foreach (NumberPlans::behind(NumberPlans::stripOf($code), $national) as $rest) {
                if (($found = self::accepted($code, $rest, $assigned)) !== null) {
                    break;
                }
            }
        }
        return $found;
    }

    private function bareInternational(string $digits): ?array
    {
        $split = NumberPlans::split($digits);
        if ($split === null || strlen($digits) < self::BARE_INTERNATIONAL_MIN) {
            return null;
        }
        $found = self::accepted($split[0], $split[1], true);
        foreach (['mobile', 'fixed', 'nomadic'] as $kind) {
            if ($found !== null && NumberPlans::is($found[0], $kind, $found[1])) {
                return $found;
            }
        }
        return null;
    }

    private static function accepted(int $code, string $national, bool $assigned): ?array
    {
        $fits = $national !== '' && strlen($code . $national) <= self::E164_DIGITS_MAX;
        $isNumber = $fits && (NumberPlans::isAssigned($code, $national)
            || !$assigned && NumberPlans::is($code, 'general', $national));
        return $isNumber ? [$code, $national] : null;
    }
}
