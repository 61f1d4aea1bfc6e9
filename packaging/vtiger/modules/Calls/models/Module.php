<?php

require_once 'modules/Calls/lib/autoload.php';

/** Calls are made by the exchange: nobody creates one by hand, and there is no summary page beside the card. */
class Calls_Module_Model extends Vtiger_Module_Model
{
    public function isSummaryViewSupported()
    {
        return false;
    }

    public function isQuickCreateSupported()
    {
        return false;
    }

    public function isPermitted($actionName)
    {
        return $actionName !== 'CreateView' && $actionName !== 'Import' && parent::isPermitted($actionName);
    }

    /** No buttons to add or import. */
    public function getModuleBasicLinks()
    {
        return [];
    }

    public function isDuplicateCheckEnabled()
    {
        return false;
    }

    public function getSettingLinks()
    {
        $links = parent::getSettingLinks();
        $links[] = [
            'linktype' => 'LISTVIEWSETTING',
            'linklabel' => 'LBL_CALLS_SETTINGS',
            'linkurl' => PinCalls\Install\Schema::SETTINGS_LINK,
            'linkicon' => '',
        ];
        return $links;
    }
}
