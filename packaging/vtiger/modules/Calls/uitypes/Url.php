<?php

require_once 'modules/Calls/lib/autoload.php';

use PinCalls\Vtiger\Services;

/** The recording of a call. What is stored is its id at the exchange; what is shown is a player behind vTiger's permissions. */
class Calls_Url_UIType extends Vtiger_Url_UIType
{
    /** What is said beside or instead of a player, by state. */
    private const NOTES = [
        'recording' => 'LBL_RECORDING_GOES_ON', 'deleted' => 'LBL_RECORDING_DELETED', 'unavailable' => 'LBL_RECORDING_UNREACHABLE',
    ];

    public function getDisplayValue($value, $record = false, $recordInstance = false)
    {
        if ($this->get('field') && $this->get('field')->getName() !== 'recording_link') {
            return parent::getDisplayValue($value, $record, $recordInstance);
        }
        return self::player((int) $record, (string) $value, true);
    }

    /**
     * The button that CallsHeader.js makes a player of, or in plain words why there is none. Who has not
     * the tool «Listen» sees no button, who has not «Download» no link; both are asked again when the sound is (actions/Recording).
     *
     * @param int $part which of several recordings, from 1; 0 for the one the call's own field names
     * @param string|null $state as the connector told it; null: as it stands with the call
     */
    public static function player(int $recordId, string $recording, bool $withDownload, int $part = 0, ?string $state = null): string
    {
        if ($recording === '' || $recordId === 0) {
            return '';
        }
        $state = $state ?? self::stored($recordId, 'recording_state');
        $note = isset(self::NOTES[$state])
            ? '<span class="calls-no-sound" data-calls-state="' . $state . '">' . self::text(self::NOTES[$state]) . '</span>' : '';
        $mayListen = self::mayUse('Listen');
        $mayDownload = $withDownload && self::mayUse('Download');
        $isNone = $state === 'recording' || ($state === 'deleted' && !self::isHere($recordId, $recording));
        if ($isNone || (!$mayListen && !$mayDownload)) {
            return $note;
        }
        $url = "index.php?module=Calls&action=Recording&record=$recordId" . ($part > 0 ? "&part=$part" : '');
        $html = '<span class="calls-player" onclick="event.stopPropagation()" data-calls-recording="' . $url . '">';
        if ($mayListen) {
            $html .= '<button type="button" class="btn btn-default btn-xs calls-play" title="' . self::text('LBL_PLAY') . '">&#9654;</button>';
        }
        if ($mayDownload) {
            $html .= ' <a class="calls-download" href="' . $url . '&download=1">' . self::text('LBL_DOWNLOAD') . '</a>';
        }
        // What was brought here before can be heard though the exchange has it no more; what was out of reach may be back.
        return $html . '</span>' . ($note === '' ? '' : ' ' . $note);
    }

    private static function mayUse(string $tool): bool
    {
        return Services::get()->rights->mayUse((int) Users_Record_Model::getCurrentUserModel()->getId(), $tool);
    }

    private static function isHere(int $recordId, string $recording): bool
    {
        $connectorId = (int) self::stored($recordId, 'call_connector');
        return Services::get()->sounds->whole($connectorId, $recording) !== null;
    }

    private static function stored(int $recordId, string $column): string
    {
        $rows = Services::get()->db->rows('SELECT recording_state, call_connector FROM vtiger_calls WHERE callsid = ?', [$recordId]);
        return (string) ($rows[0][$column] ?? '');
    }

    private static function text(string $label): string
    {
        return htmlspecialchars(vtranslate($label, 'Calls'), ENT_QUOTES, 'UTF-8');
    }
}
