<?php

/** Links to the connector that carry their right with them, for browsers, which cannot sign requests. */

declare(strict_types=1);

namespace PinCalls\Wire;

final class Link
{
    /** @param string $target path and query, with `key` and `expires`; the signature becomes its last parameter */
    public static function signed(string $secret, string $target): string
    {
        return $target . '&signature=' . hash_hmac('sha256', "LINK\n" . $target, $secret);
    }
}
