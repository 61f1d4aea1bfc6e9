<?php

/** Sends a letter to the administrators. */

declare(strict_types=1);

namespace PinCalls\Status;

interface Mailer
{
    /** @return bool whether it went out */
    public function toAdministrators(string $subject, string $body): bool;
}
