<?php

/**
 * The entity class of «Звонки» as vTiger wants it. Thin on purpose: install and update are lib/Install, everything a call means is
 * lib/Operation/Records.
 */

require_once 'modules/Vtiger/CRMEntity.php';
require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Install\Installer;
use PinCalls\Vtiger\VtigerDb;

class Calls extends Vtiger_CRMEntity
{
    public $table_name = 'vtiger_calls';
    public $table_index = 'callsid';
    public $customFieldTable = ['vtiger_callscf', 'callsid'];
    public $tab_name = ['vtiger_crmentity', 'vtiger_calls', 'vtiger_callscf'];
    public $tab_name_index = [
        'vtiger_crmentity' => 'crmid',
        'vtiger_calls' => 'callsid',
        'vtiger_callscf' => 'callsid',
    ];
    public $list_fields = [
        'Call Started' => ['calls', 'call_started'],
        'Direction' => ['calls', 'call_direction'],
        'Call Status' => ['calls', 'call_status'],
        'Client Number' => ['calls', 'client_number'],
        'Employee' => ['calls', 'crm_user'],
        'Talk Time' => ['calls', 'talk_seconds'],
        'Recording' => ['calls', 'recording_link'],
    ];
    public $list_fields_name = [
        'Call Started' => 'call_started',
        'Direction' => 'call_direction',
        'Call Status' => 'call_status',
        'Client Number' => 'client_number',
        'Employee' => 'crm_user',
        'Talk Time' => 'talk_seconds',
        'Recording' => 'recording_link',
    ];
    public $list_link_field = 'call_name';
    public $search_fields = [
        'Call' => ['calls', 'call_name'],
        'Client Number' => ['calls', 'client_number'],
        'Call Started' => ['calls', 'call_started'],
    ];
    public $search_fields_name = [
        'Call' => 'call_name',
        'Client Number' => 'client_number',
        'Call Started' => 'call_started',
    ];
    public $popup_fields = ['call_name'];
    public $def_basicsearch_col = 'call_name';
    public $def_detailview_recname = 'call_name';
    public $mandatory_fields = ['assigned_user_id'];
    public $default_order_by = 'call_started';
    public $default_sort_order = 'DESC';

    /**
     * Called by vTiger at install, update, disable, enable and uninstall.
     *
     * @param string $moduleName
     * @param string $eventType
     */
    public function vtlib_handler($moduleName, $eventType)
    {
        $installer = new Installer(new VtigerDb());
        switch ($eventType) {
            case 'module.postinstall':
            case 'module.postupdate':
                $installer->run();
                break;
            case 'module.enabled':
                $installer->connect(Vtiger_Module::getInstance($moduleName));
                break;
            case 'module.disabled':
                $installer->disconnect();
                break;
            case 'module.preuninstall':
                $installer->uninstall();
                break;
        }
    }
}
