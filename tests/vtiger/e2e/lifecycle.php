<?php

/**
 * Runs vTiger's own package manager for the module: lifecycle.php ROOT install|update|disable|enable|uninstall [ZIP]; or, with `minute`,
 * the module's cron task, as vTiger's cron would.
 */

[, $root, $what] = $argv;
chdir($root);
$_SERVER['HTTP_HOST'] = 'localhost';
$_SERVER['REQUEST_URI'] = '/index.php';
foreach (['config.php', 'vendor/autoload.php', 'include/Webservices/Relation.php', 'vtlib/Vtiger/Module.php', 'vtlib/Vtiger/Package.php', 'includes/main/WebUI.php'] as $file) {
    include_once $file;
}
error_reporting(E_ERROR | E_PARSE);
ini_set('display_errors', '1');
$current_user = Users::getActiveAdminUser();
vglobal('current_user', $current_user);
ob_start();
switch ($what) {
    case 'install':
        (new Vtiger_Package())->import($argv[3], true);
        break;
    case 'update':
        (new Vtiger_Package())->update(Vtiger_Module::getInstance('Calls'), $argv[3], true);
        break;
    case 'disable':
    case 'enable':
        vtlib_toggleModuleAccess('Calls', $what === 'enable');
        break;
    case 'minute':
        require_once 'modules/Emails/mail.php';
        require 'cron/modules/Calls/Calls.service';
        break;
    case 'uninstall':
        Vtiger_Module::getInstance('Calls')->delete();
        break;
}
ob_end_clean();
echo "done\n";
