<?php

/** A short-lived token that says who asks live.php: made in a session, read without one and without a database. */

declare(strict_types=1);

namespace PinCalls\Status;

final class LiveToken
{
    private string $key;

    public function __construct(string $key)
    {
        $this->key = $key;
    }

    /** The key of this vTiger, from the key it has anyway and shows nobody. */
    public static function keyOf(string $applicationUniqueKey): string
    {
        if ($applicationUniqueKey === '') {
            throw new \LogicException('config.inc.php has no $application_unique_key');
        }
        return hash_hmac('sha256', 'PINconnector live.php', $applicationUniqueKey);
    }

    /** @param array<string, mixed> $claims */
    public function make(array $claims, int $until): string
    {
        $text = rtrim(strtr(base64_encode((string) json_encode($claims + ['until' => $until])), '+/', '-_'), '=');
        return $text . '.' . hash_hmac('sha256', $text, $this->key);
    }

    /** @return array<string, mixed>|null null: not ours, or too old */
    public function read(string $token, int $now): ?array
    {
        $parts = explode('.', $token);
        if (count($parts) !== 2 || !hash_equals(hash_hmac('sha256', $parts[0], $this->key), $parts[1])) {
            return null;
        }
        $claims = json_decode((string) base64_decode(strtr($parts[0], '-_', '+/'), true), true);
        return is_array($claims) && (int) ($claims['until'] ?? 0) > $now ? $claims : null;
    }
}
