<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\Figures;
use PinCalls\Vtiger\Services;

/** What the module's charts have in common: vTiger's own bar chart around figures of main records the looker may see. */
abstract class Calls_Chart_Dashboard extends Vtiger_IndexAjax_View
{
    abstract protected function figures(): string;

    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView'];
        return $permissions;
    }

    public function process(Vtiger_Request $request)
    {
        $viewer = $this->getViewer($request);
        $widget = Vtiger_Widget_Model::getInstance(
            $request->get('linkid'),
            Users_Record_Model::getCurrentUserModel()->getId()
        );
        $name = $this->figures();
        $viewer->assign('WIDGET', $widget);
        $viewer->assign('MODULE_NAME', 'Calls');
        $viewer->assign('CHART_NAME', $name);
        $viewer->assign('DATA', array_map(static function (array $row): array {
            // As vTiger's bar chart reads it: how many, what, and where a click leads.
            return [0 => $row['count'], 1 => $row['label'], 'links' => $row['link']];
        }, (new Figures(Services::get()))->$name()));
        if ((string) $request->get('content') !== '') {
            $viewer->view('dashboards/DashBoardWidgetContents.tpl', 'Vtiger');
        } else {
            $viewer->view('dashboards/Chart.tpl', 'Calls');
        }
    }
}
