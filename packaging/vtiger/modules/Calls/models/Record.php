<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Record\CallFields;

/** A call as lists and tabs show it. */
class Calls_Record_Model extends Vtiger_Record_Model
{
    private const DURATIONS = ['ring_seconds', 'talk_seconds', 'wait_seconds', 'total_seconds'];

    public function getDisplayValue($fieldName, $recordId = false)
    {
        if (in_array($fieldName, self::DURATIONS, true)) {
            return CallFields::duration((string) $this->get($fieldName));
        }
        if ($fieldName === 'recording_link') {
            return Calls_Url_UIType::player((int) ($recordId ?: $this->getId()), (string) $this->get($fieldName), false);
        }
        return parent::getDisplayValue($fieldName, $recordId);
    }

    public function getDuplicateRecordUrl()
    {
        return '';
    }
}
