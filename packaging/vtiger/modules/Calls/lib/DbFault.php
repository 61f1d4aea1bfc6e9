<?php

/** A statement of ours failed: the database is away or not as the installer leaves it. Never the fault of a record. */

declare(strict_types=1);

namespace PinCalls;

final class DbFault extends \RuntimeException
{
}
