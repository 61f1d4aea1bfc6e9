<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\PeoplesFields;

/** Saving a call by hand: people's own fields only, and of a call that is there. */
class Calls_Save_Action extends Vtiger_Save_Action
{
    protected function getRecordModelFromRequest(Vtiger_Request $request)
    {
        PeoplesFields::existing($request);
        PeoplesFields::only($request);
        return parent::getRecordModelFromRequest($request);
    }
}
