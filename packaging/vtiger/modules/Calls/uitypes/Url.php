<?php

/** The recording of a call. What is stored is its id at the exchange; what is shown is a player behind vTiger's permissions. */
class Calls_Url_UIType extends Vtiger_Url_UIType
{
    public function getDisplayValue($value, $record = false, $recordInstance = false)
    {
        if ($this->get('field') && $this->get('field')->getName() !== 'recording_link') {
            return parent::getDisplayValue($value, $record, $recordInstance);
        }
        return self::player((int) $record, (string) $value, true);
    }

    /** The button that CallsHeader.js makes a player of. */
    public static function player(int $recordId, string $recording, bool $withDownload, int $part = 0): string
    {
        if ($recording === '' || $recordId === 0) {
            return '';
        }
        $url = "index.php?module=Calls&action=Recording&record=$recordId" . ($part > 0 ? "&part=$part" : '');
        $html = '<span class="calls-player" onclick="event.stopPropagation()" data-calls-recording="' . $url . '">'
            . '<button type="button" class="btn btn-default btn-xs calls-play" title="'
            . htmlspecialchars(vtranslate('LBL_PLAY', 'Calls'), ENT_QUOTES, 'UTF-8') . '">&#9654;</button>';
        if ($withDownload) {
            $html .= ' <a class="calls-download" href="' . $url . '&download=1">'
                . htmlspecialchars(vtranslate('LBL_DOWNLOAD', 'Calls'), ENT_QUOTES, 'UTF-8') . '</a>';
        }
        return $html . '</span>';
    }
}
