<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Install\Schema;

/** What the exchange said is not for people to change; their own fields, custom ones included, are. */
class Calls_Field_Model extends Vtiger_Field_Model
{
    public function isEditable()
    {
        return $this->isPeoples() && parent::isEditable();
    }

    public function isAjaxEditable()
    {
        return $this->isPeoples() && parent::isAjaxEditable();
    }

    private function isPeoples(): bool
    {
        return $this->get('table') === 'vtiger_callscf' || in_array($this->getName(), Schema::EDITABLE, true);
    }
}
