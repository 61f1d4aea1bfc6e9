<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\RecordingStream;
use PinCalls\Vtiger\Services;

/** The sound of a call, behind vTiger's permissions: who may see the record and has the tool «Listen» (or «Download»). */
class Calls_Recording_Action extends Vtiger_Action_Controller
{
    public function requiresPermission(Vtiger_Request $request)
    {
        $permissions = parent::requiresPermission($request);
        $permissions[] = ['module_parameter' => 'module', 'action' => 'DetailView', 'record_parameter' => 'record'];
        return $permissions;
    }

    public function process(Vtiger_Request $request)
    {
        $userId = (int) Users_Record_Model::getCurrentUserModel()->getId();
        $download = (bool) $request->get('download');
        // A session is one request at a time: held for the length of a recording, it would lock its user out.
        session_write_close();
        $services = Services::get();
        $stream = new RecordingStream($services);
        if (!$services->rights->mayUse($userId, $download ? 'Download' : 'Listen')) {
            $stream->refuse(403, 'not_allowed');
            return;
        }
        $stream->send((int) $request->get('record'), $download, (int) $request->get('part'));
    }
}
