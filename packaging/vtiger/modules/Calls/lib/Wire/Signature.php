<?php

/** How requests between the connector and this module are signed, in both directions. */

declare(strict_types=1);

namespace PinCalls\Wire;

final class Signature
{
    public const WINDOW_SECONDS = 300;
    public const NONCE_SECONDS = 600;

    /**
     * @param string $path path with query, as it stands in the request line
     * @return string 64 hex digits
     */
    public static function of(
        string $secret,
        string $method,
        string $path,
        int $time,
        string $nonce,
        string $body
    ): string {
        $signed = implode("\n", [$method, $path, (string) $time, $nonce, hash('sha256', $body)]);
        return hash_hmac('sha256', $signed, $secret);
    }

    /** @return array<string, string> the four headers of a request of ours */
    public static function headers(
        string $key,
        string $secret,
        string $method,
        string $path,
        string $body,
        int $time
    ): array {
        $nonce = bin2hex(random_bytes(16));
        return [
            'X-PIN-Key' => $key,
            'X-PIN-Time' => (string) $time,
            'X-PIN-Nonce' => $nonce,
            'X-PIN-Signature' => self::of($secret, $method, $path, $time, $nonce, $body),
        ];
    }
}
