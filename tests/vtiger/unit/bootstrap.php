<?php

/** Loads the module's classes and the tests' own. */

declare(strict_types=1);

error_reporting(E_ALL);
set_error_handler(static function (int $severity, string $message, string $file, int $line): bool {
    throw new ErrorException($message, 0, $severity, $file, $line);
}, E_ALL & ~E_DEPRECATED);
date_default_timezone_set('UTC');

const PROJECT = __DIR__ . '/../../..';
const MODULE = PROJECT . '/packaging/vtiger/modules/Calls';
const WIRE = PROJECT . '/tests/wire/calls';

require MODULE . '/lib/autoload.php';
require __DIR__ . '/DatabaseCase.php';
