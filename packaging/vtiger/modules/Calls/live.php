<?php

/**
 * What rings for me, asked once a second by every visible page: a bare entry without vTiger and without a session, one indexed
 * read. With `state=1`, asked twice a minute, also whether telephony works.
 */

declare(strict_types=1);

chdir(dirname(__DIR__, 2));
ob_start();
require 'config.inc.php';
require 'modules/Calls/lib/autoload.php';
ob_end_clean();
ini_set('display_errors', '0');

PinCalls\Status\Live::answer($dbconfig, (string) $application_unique_key);
