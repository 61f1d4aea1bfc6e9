<?php

require_once 'modules/Calls/lib/autoload.php';

/** Seconds are shown as m:ss; every other whole number as it is. */
class Calls_Integer_UIType extends Vtiger_Integer_UIType
{
    public function getDisplayValue($value, $record = false, $recordInstance = false)
    {
        $field = $this->get('field');
        if ($field && preg_match('/_seconds$/', $field->getName())) {
            return PinCalls\Record\CallFields::duration((string) $value);
        }
        return parent::getDisplayValue($value, $record, $recordInstance);
    }
}
