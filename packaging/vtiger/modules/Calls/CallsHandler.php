<?php

/**
 * What happens in vTiger that calls depend on: clients whose numbers change, come back or go, Leads that become Contacts, users
 * whose extensions change. Nothing here may ever spoil the save of another module's record.
 */

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Identity\ClientFinder;
use PinCalls\Vtiger\LeadConversion;
use PinCalls\Vtiger\Services;

class CallsHandler extends VTEventHandler
{
    public function handleEvent($eventName, $entityData)
    {
        try {
            $this->handle((string) $eventName, $entityData);
        } catch (\Throwable $fault) {
            error_log('Calls: ' . $eventName . ': ' . $fault->getMessage());
        }
    }

    private function handle(string $eventName, $entityData): void
    {
        $module = (string) $entityData->getModuleName();
        if ($module === 'Users' && $eventName === 'vtiger.entity.aftersave') {
            Services::get()->tellConnectors('users');
            return;
        }
        if (!in_array($module, ClientFinder::MODULES, true)) {
            return;
        }
        $services = Services::get();
        $crmId = (int) preg_replace('/^.*x/', '', (string) $entityData->getId());
        if ($eventName === 'vtiger.lead.convertlead') {
            (new LeadConversion($services->db))->moveCalls($crmId, $entityData);
        }
        if ($services->clientPhones->refresh($crmId, $module)) {
            $services->tellConnectors('directory');
        }
    }
}
