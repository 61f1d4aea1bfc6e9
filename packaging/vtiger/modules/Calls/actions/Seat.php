<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\SeatDesk;
use PinCalls\Vtiger\Services;

/** «My extension today»: take one, leave it. */
class Calls_Seat_Action extends Vtiger_Action_Controller
{
    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView'];
        return $permissions;
    }

    public function validateRequest(Vtiger_Request $request)
    {
        return $request->validateWriteAccess();
    }

    public function process(Vtiger_Request $request)
    {
        $desk = new SeatDesk(Services::get());
        $userId = (int) Users_Record_Model::getCurrentUserModel()->getId();
        $response = new Vtiger_Response();
        if ($request->getMode() === 'leave') {
            $desk->leave($userId);
            $response->setResult(['seat' => null]);
        } else {
            $result = $desk->take($userId, (string) $request->get('pbx'), (string) $request->get('extension'));
            if (isset($result['error'])) {
                $response->setError($result['error'], $result['error']);
            } else {
                $response->setResult($result);
            }
        }
        $response->emit();
    }
}
