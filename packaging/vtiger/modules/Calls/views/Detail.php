<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\CallStory;

/** The card of a call: vTiger's own, and below it how the call went and which other phones rang. */
class Calls_Detail_View extends Vtiger_Detail_View
{
    /** A call has no summary page: whoever prefers summaries gets the whole card, too. */
    public function showModuleBasicView(Vtiger_Request $request)
    {
        return $this->showModuleDetailView($request);
    }

    public function showModuleDetailView(Vtiger_Request $request)
    {
        $card = (string) parent::showModuleDetailView($request);
        $viewer = $this->getViewer($request);
        $story = new CallStory((int) $request->get('record'));
        $viewer->assign('STEPS', $story->steps());
        $viewer->assign('OTHERS', $story->others());
        $viewer->assign('IS_MAIN', $story->isMain());
        $viewer->assign('MODULE', 'Calls');
        return $card . $viewer->view('CallStory.tpl', 'Calls', true);
    }
}
