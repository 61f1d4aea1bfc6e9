<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\SettingsPage;
use PinCalls\Vtiger\Services;

/** The settings page of «Звонки». Administrators only: that is Settings_Vtiger_Index_View's own check. */
class Settings_Calls_Index_View extends Settings_Vtiger_Index_View
{
    public function process(Vtiger_Request $request)
    {
        $viewer = $this->getViewer($request);
        foreach ((new SettingsPage(Services::get()))->facts((int) $request->get('log')) as $name => $value) {
            $viewer->assign($name, $value);
        }
        $viewer->assign('QUALIFIED_MODULE', $request->getModule(false));
        $viewer->view('Index.tpl', $request->getModule(false));
    }

    public function getPageTitle(Vtiger_Request $request)
    {
        return vtranslate('LBL_CALLS_SETTINGS', $request->getModule(false));
    }

    public function getHeaderScripts(Vtiger_Request $request)
    {
        $scripts = $this->checkAndConvertJsScripts(['modules.Settings.Calls.resources.CallsSettings']);
        return array_merge(parent::getHeaderScripts($request), $scripts);
    }
}
