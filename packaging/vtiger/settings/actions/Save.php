<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\Services;
use PinCalls\Vtiger\SettingsDesk;

/** Every change of the settings page. Administrators only, by POST with vTiger's token only. */
class Settings_Calls_Save_Action extends Settings_Vtiger_Basic_Action
{
    public function validateRequest(Vtiger_Request $request)
    {
        return $request->validateWriteAccess();
    }

    public function process(Vtiger_Request $request)
    {
        $response = new Vtiger_Response();
        try {
            $result = (new SettingsDesk(Services::get()))->change((string) $request->get('what'), $request->getAll());
            $response->setResult(['message' => vtranslate($result['message'], 'Settings:Calls')] + $result);
        } catch (\InvalidArgumentException $refused) {
            $response->setError('refused', vtranslate($refused->getMessage(), 'Settings:Calls'));
        }
        $response->emit();
    }
}
