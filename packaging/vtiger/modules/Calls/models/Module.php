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

    /** In the tabs of a client: whose calls they are stands above, and whoever is to listen needs no scrolling. */
    private const TAB_COLUMNS = [
        'call_started', 'call_direction', 'call_status', 'recording_link', 'talk_seconds', 'crm_user', 'call_extension',
        'client_number', 'call_reason', 'call_follow_up', 'call_name',
    ];

    public function getHeaderAndSummaryViewFieldsList()
    {
        $shown = parent::getHeaderAndSummaryViewFieldsList();
        $rank = array_flip(self::TAB_COLUMNS);
        // What an administrator has taken out of the summary stays out, what he has put into it follows.
        uksort($shown, static function (string $a, string $b) use ($rank): int {
            return ($rank[$a] ?? 99) <=> ($rank[$b] ?? 99);
        });
        return $shown;
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
