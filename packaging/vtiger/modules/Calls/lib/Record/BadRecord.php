<?php

/** This record can never be stored as it is; the message is the reason told to the connector. */

declare(strict_types=1);

namespace PinCalls\Record;

final class BadRecord extends \RuntimeException
{
}
