<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\Services;

/** A click on a number. The browser tells the number and the record it stands in; who calls is the user of the session. */
class Calls_ClickToCall_Action extends Vtiger_Action_Controller
{
    public function __construct()
    {
        parent::__construct();
        $this->exposeMethod('place');
        $this->exposeMethod('state');
        $this->exposeMethod('cancel');
    }

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
        $mode = $request->getMode();
        if (!in_array($mode, ['place', 'state', 'cancel'], true)) {
            throw new AppException(vtranslate('LBL_PERMISSION_DENIED'));
        }
        $userId = (int) Users_Record_Model::getCurrentUserModel()->getId();
        $record = (int) $request->get('record');
        // A record the user may not see lends a call neither its client nor its number to show.
        if ($record > 0) {
            $module = (string) getSalesEntityType($record);
            $record = $module !== '' && Users_Privileges_Model::isPermitted($module, 'DetailView', $record) ? $record : 0;
        }
        session_write_close();
        $calls = Services::get()->clickToCall;
        if ($mode === 'place') {
            $result = $calls->place($userId, (string) $request->getRaw('number'), $record);
        } elseif ($mode === 'state') {
            $result = $calls->state($userId, (string) $request->get('request'));
        } else {
            $result = $calls->cancel($userId, (string) $request->get('request'));
        }
        $response = new Vtiger_Response();
        $response->setResult($result);
        $response->emit();
    }
}
