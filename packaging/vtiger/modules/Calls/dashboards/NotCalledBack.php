<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\Figures;
use PinCalls\Vtiger\Services;

/** The missed clients nobody has called back yet, with the button that closes one. */
class Calls_NotCalledBack_Dashboard extends Vtiger_IndexAjax_View
{
    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView'];
        return $permissions;
    }

    public function process(Vtiger_Request $request)
    {
        $viewer = $this->getViewer($request);
        $userId = Users_Record_Model::getCurrentUserModel()->getId();
        $viewer->assign('WIDGET', Vtiger_Widget_Model::getInstance($request->get('linkid'), $userId));
        $viewer->assign('MODULE_NAME', 'Calls');
        $viewer->assign('CALLS', (new Figures(Services::get()))->notCalledBack());
        $isContent = (string) $request->get('content') !== '';
        $viewer->view($isContent ? 'dashboards/NotCalledBackContents.tpl' : 'dashboards/NotCalledBack.tpl', 'Calls');
    }
}
