<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Record\CallFields;

/** The list: durations as m:ss, the player, and the filter «Mine», which is another one for everybody who looks. */
class Calls_ListView_Model extends Vtiger_ListView_Model
{
    private const DURATIONS = ['ring_seconds', 'talk_seconds', 'wait_seconds', 'total_seconds'];

    public function getListViewEntries($pagingModel)
    {
        if (!$this->getForSql('orderby')) {
            // Newest first by when it was, not by when somebody last touched it: the index on call_started is made for this.
            $this->set('orderby', 'call_started');
            $this->set('sortorder', 'DESC');
        }
        $entries = parent::getListViewEntries($pagingModel);
        foreach ($entries as $id => $entry) {
            $raw = $entry->getRawData();
            foreach (self::DURATIONS as $name) {
                if ($entry->get($name) !== null && $entry->get($name) !== '') {
                    $entry->set($name, CallFields::duration((string) $raw[$name]));
                }
            }
            if (isset($raw['recording_link'])) {
                $entry->set('recording_link', Calls_Url_UIType::player((int) $id, (string) $raw['recording_link'], false));
            }
        }
        return $entries;
    }

    public function getQuery()
    {
        $query = parent::getQuery();
        if ($this->isMine()) {
            $me = (int) Users_Record_Model::getCurrentUserModel()->getId();
            $query .= " AND (vtiger_calls.crm_user = $me OR vtiger_crmentity.smownerid = $me)";
        }
        return $query;
    }

    public function getAdvancedLinks()
    {
        return array_values(array_filter(parent::getAdvancedLinks(), static function ($link): bool {
            return !in_array($link['linklabel'] ?? '', ['LBL_IMPORT', 'LBL_FIND_DUPLICATES'], true);
        }));
    }

    private function isMine(): bool
    {
        $viewId = (int) (new CustomView())->getViewId('Calls');
        $db = PearDatabase::getInstance();
        $sql = "SELECT 1 FROM vtiger_customview WHERE cvid = ? AND entitytype = 'Calls' AND viewname = 'Mine'";
        $found = $db->pquery($sql, [$viewId]);
        return $db->num_rows($found) > 0;
    }
}
