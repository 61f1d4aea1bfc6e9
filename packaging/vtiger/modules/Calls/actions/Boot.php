<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\PageBoot;
use PinCalls\Vtiger\Services;

/** What a page needs to know of telephony: rights, seat and the token for live.php. Asked once in a few minutes, not by every page. */
class Calls_Boot_Action extends Vtiger_Action_Controller
{
    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView'];
        return $permissions;
    }

    public function process(Vtiger_Request $request)
    {
        $userId = (int) Users_Record_Model::getCurrentUserModel()->getId();
        session_write_close();
        $response = new Vtiger_Response();
        $response->setResult((new PageBoot(Services::get()))->facts($userId));
        $response->emit();
    }
}
