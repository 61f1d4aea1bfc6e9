<?php

/** The request cannot be answered as asked; carries the HTTP status and the code of the error answer. */

declare(strict_types=1);

namespace PinCalls\Wire;

final class Refusal extends \RuntimeException
{
    public int $status;
    public string $error;

    public function __construct(int $status, string $error, string $message)
    {
        parent::__construct($message);
        $this->status = $status;
        $this->error = $error;
    }
}
