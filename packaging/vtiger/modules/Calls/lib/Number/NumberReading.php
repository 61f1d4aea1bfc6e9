<?php

/**
 * Reads what people and exchanges write as a telephone number: digits, plus, extension behind it, feature codes. Knows nothing of
 * countries. The connector's src/phone/reading.rs, sign by sign; tests/numbers/examples.tsv holds both to the same answers.
 */

declare(strict_types=1);

namespace PinCalls\Number;

final class NumberReading
{
    public const NUMBER = 'number';
    /** `*11`, `#31#`: dialled at the exchange, nobody's number. */
    public const CODE = 'code';
    /** No digit in it, or not one number: nothing to compare. */
    public const NOTHING = 'nothing';

    /** From here on, digits are a number that an extension can stand behind. */
    public const NUMBER_DIGITS_MIN = 7;
    private const RAW_BYTES_MAX = 256;
    private const DIGITS_MAX = 32;
    private const EXTENSION_DIGITS_MAX = 7;
    private const DIGITS_AFTER_PAUSE_MAX = 5;

    /** What people put between digits, and what word processors and right-to-left scripts leave there unseen. */
    private const SEPARATOR = '/^[\t\x{0b}\x{0c} \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}'
        . '\x{ad}\x{200b}-\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2069}\x{feff}'
        . '\-\x{2010}-\x{2015}\x{2043}\x{2212}\x{30fc}\x{fe58}\x{fe63}\x{ff0d}'
        . '()\[\]\x{ff08}\x{ff09}.\/\\\\~\x{b7}\x{2022}_]$/u';
    /** The digit zero of the scripts in which telephone numbers are written. */
    private const ZEROS = [
        0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0, 0x1040, 0x17e0, 0x1810, 0xff10,
    ];

    public string $shape = self::NOTHING;
    public bool $plus = false;
    /** The digits as given; of a code, its `*` and `#`, too. */
    public string $digits = '';
    public string $extension = '';
    /** How many digits stand before the first `/`: `84957654321/22` may be two numbers that share a beginning; -1 if none. */
    public int $beforeSlash = -1;
    /** Something else with digits follows, and nothing says that it is another number. */
    public bool $doubtful = false;

    public static function of(string $raw): self
    {
        if (strlen($raw) > self::RAW_BYTES_MAX) {
            return new self();
        }
        $text = (string) preg_replace_callback('/%([0-9a-fA-F]{2})/', static function (array $part): string {
            return chr((int) hexdec($part[1]));
        }, $raw);
        $reading = new self();
        return $reading->read(self::bare(mb_scrub($text, 'UTF-8'))) ? $reading : new self();
    }

    /** Without `tel:` and the like, without a name before `<…>`, without a SIP domain. */
    private static function bare(string $text): string
    {
        $text = self::trim($text);
        $open = strrpos($text, '<');
        if ($open !== false && ($close = strpos($text, '>', $open)) !== false) {
            $text = self::trim(substr($text, $open + 1, $close - $open - 1));
        }
        if (preg_match('/^(tel:|sip:|sips:|callto:|phone:)(.*)$/is', $text, $part)) {
            $text = ltrim($part[2], '/');
        }
        return explode('@', $text, 2)[0];
    }

    /** False if it is no number for having too many digits. */
    private function read(string $text): bool
    {
        $isCode = false;
        $rest = '';
        $characters = preg_split('//u', $text, -1, PREG_SPLIT_NO_EMPTY) ?: [];
        foreach ($characters as $at => $character) {
            $isSign = $character === '*' || $character === '#';
            if (($digit = self::digit($character)) !== '') {
                $this->digits .= $digit;
            } elseif (self::isPlus($character) && $this->digits === '') {
                $this->plus = true;
            } elseif ($isSign && ($isCode || strlen($this->digits) < self::NUMBER_DIGITS_MIN)) {
                $isCode = true;
                $this->digits .= $character;
            } elseif (preg_match(self::SEPARATOR, $character)) {
                if (($character === '/' || $character === '\\') && $this->beforeSlash < 0) {
                    $this->beforeSlash = strlen($this->digits);
                }
            } elseif ($this->digits !== '' || $this->plus) {
                $rest = implode('', array_slice($characters, $at));
                break;
            }
            if (strlen($this->digits) > self::DIGITS_MAX) {
                return false;
            }
        }
        if ($isCode) {
            $this->shape = self::trim($rest) === '' && !$this->plus ? self::CODE : self::NOTHING;
        } elseif ($this->digits !== '') {
            $this->shape = self::NUMBER;
            if ($rest !== '') {
                $this->follow($rest);
            }
        }
        return true;
    }

    /** Reads what stands behind the number. */
    private function follow(string $rest): void
    {
        // RFC 3966: tel:7654321;phone-context=+7495
        if (!$this->plus && preg_match('/;phone-context=\+([0-9]{1,7})(?![0-9])/', $rest, $context)) {
            $this->digits = substr($context[1] . $this->digits, 0, self::DIGITS_MAX);
            $this->plus = true;
            return;
        }
        $this->extension = self::extensionAt($rest);
        if ($this->extension !== '') {
            return;
        }
        foreach (preg_split('//u', $rest, -1, PREG_SPLIT_NO_EMPTY) ?: [] as $character) {
            if (strpos(",;|\n", $character) !== false || self::isPlus($character)) {
                return;
            }
            if (self::digit($character) !== '') {
                $this->doubtful = true;
                return;
            }
        }
    }

    /** `доб. 12`, `(вн. 12)`, `ext 12`, `;ext=12`, `x12`, `#12`, `,,12`. */
    private static function extensionAt(string $rest): string
    {
        $text = (string) preg_replace('/^[\s\p{Z}(\[]+/u', '', $rest);
        $mark = substr($text, 0, 1);
        preg_match('/^[,;.\- ]*(\p{L}*)(.*)$/su', $text, $part);
        $word = mb_strtolower($part[1] ?? '', 'UTF-8');
        $behind = (string) preg_replace('/^[\s\p{Z}.:=#*~№\-(]+/u', '', $part[2] ?? '');
        if ($word === '') {
            $most = $mark === ',' ? self::DIGITS_AFTER_PAUSE_MAX : (in_array($mark, ['#', '*', '~'], true) ? self::EXTENSION_DIGITS_MAX : 0);
        } else {
            $means = '/^(?:(?:доб|внут|доп|ext|anexo|nebenst|poste|interno).*|вн|x|х|e|int|nst|dw|p|w|тон|tone)$/su';
            $most = strlen($word) <= 24 && preg_match($means, $word) ? self::EXTENSION_DIGITS_MAX : 0;
        }
        preg_match('/^([0-9]*)(.*)$/s', $behind, $part);
        $length = strlen($part[1]);
        $isEnd = $word === '' ? !preg_match('/\p{Nd}/u', $part[2]) : !preg_match('/^[\p{L}\p{N}]/u', $part[2]);
        return $length >= 1 && $length <= $most && $isEnd ? $part[1] : '';
    }

    private static function trim(string $text): string
    {
        return (string) preg_replace('/^[\s\p{Z}\x{85}]+|[\s\p{Z}\x{85}]+$/u', '', $text);
    }

    private static function isPlus(string $character): bool
    {
        return $character === '+' || $character === "\u{ff0b}" || $character === "\u{fe62}";
    }

    private static function digit(string $character): string
    {
        if (strlen($character) === 1) {
            return $character >= '0' && $character <= '9' ? $character : '';
        }
        $code = mb_ord($character, 'UTF-8');
        foreach (self::ZEROS as $zero) {
            if ($code >= $zero && $code < $zero + 10) {
                return (string) ($code - $zero);
            }
        }
        return '';
    }
}
