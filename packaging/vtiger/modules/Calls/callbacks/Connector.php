<?php

/**
 * The connector's door (POST, signed; the contract is tests/wire/calls in the project). A bare entry: no login, no PHP session, and
 * whatever happens, an answer in JSON.
 */

chdir(dirname(__DIR__, 3));
ob_start();
require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Clock;
use PinCalls\Vtiger\ConnectorDoor;

$callsDoor = new ConnectorDoor(new Clock());
$callsDoor->guard();

include_once 'config.php';
include_once 'vendor/autoload.php';
include_once 'includes/Loader.php';
include_once 'include/Webservices/Utils.php';
include_once 'includes/main/WebUI.php';
vimport('includes.http.Request');
vimport('includes.runtime.EntryPoint');
require_once 'include/events/include.inc';

$callsDoor->open();
