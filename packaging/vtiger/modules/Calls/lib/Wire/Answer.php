<?php

/** What the endpoint says: a status and a JSON object, of which every one is recognisable as ours. */

declare(strict_types=1);

namespace PinCalls\Wire;

use PinCalls\Version;

final class Answer
{
    public int $status;
    /** @var array<string, mixed> */
    public array $body;

    /** @param array<string, mixed> $body */
    private function __construct(int $status, array $body)
    {
        $this->status = $status;
        $this->body = $body;
    }

    /** @param array<string, mixed> $facts */
    public static function ok(string $time, array $facts): self
    {
        return new self(200, self::head(true, $time) + $facts);
    }

    public static function error(int $status, string $time, string $code, string $message): self
    {
        return new self($status, self::head(false, $time) + ['error' => $code, 'message' => $message]);
    }

    public function json(): string
    {
        $flags = JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE
            | JSON_PRESERVE_ZERO_FRACTION;
        return (string) json_encode($this->body, $flags);
    }

    /** @return array<string, mixed> */
    private static function head(bool $ok, string $time): array
    {
        return ['ok' => $ok, 'module' => 'Calls', 'version' => Version::NUMBER, 'time' => $time];
    }
}
