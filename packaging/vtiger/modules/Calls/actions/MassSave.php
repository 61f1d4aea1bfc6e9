<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\PeoplesFields;

/** Changing many calls at once: people's own fields only. */
class Calls_MassSave_Action extends Vtiger_MassSave_Action
{
    public function process(Vtiger_Request $request)
    {
        PeoplesFields::only($request);
        return parent::process($request);
    }
}
