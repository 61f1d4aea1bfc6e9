<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Clock;
use PinCalls\Vtiger\EntityStore;
use PinCalls\Vtiger\Services;

/** Closes the follow-up of a missed call by hand, here and at the connector, whose word it is otherwise. */
class Calls_FollowUp_Action extends Vtiger_Action_Controller
{
    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView', 'record_parameter' => 'record'];
        return $permissions;
    }

    public function validateRequest(Vtiger_Request $request)
    {
        return $request->validateWriteAccess();
    }

    public function process(Vtiger_Request $request)
    {
        $crmId = (int) $request->get('record');
        $store = new EntityStore();
        $stored = $store->stored($crmId);
        $response = new Vtiger_Response();
        if ($stored === null || !in_array($stored['call_follow_up'], ['open', 'tried'], true)) {
            $response->setError('not_open', vtranslate('LBL_NOT_OPEN', 'Calls'));
            $response->emit();
            return;
        }
        $services = Services::get();
        $store->update($crmId, ['call_follow_up' => 'closed']);
        $services->commands->give((int) $stored['call_connector'], 'close_follow_up', [
            'call' => $stored['call_id'],
            'follow_up' => 'closed',
            'user' => (string) Users_Record_Model::getCurrentUserModel()->getId(),
            'at' => (new Clock())->wire(),
        ]);
        $response->setResult(['follow_up' => 'closed']);
        $response->emit();
    }
}
