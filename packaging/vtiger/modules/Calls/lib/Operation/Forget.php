<?php

/** `forget`: a client's calls leave the CRM with everything that hangs on them. His card is not ours to touch. */

declare(strict_types=1);

namespace PinCalls\Operation;

use PinCalls\Db;
use PinCalls\Identity\PhoneIndex;
use PinCalls\Record\Sounds;
use PinCalls\Settings\Connector;
use PinCalls\Wire\Refusal;

class Forget
{
    private const AT_ONCE = 200;

    private Db $db;
    private PhoneIndex $phones;
    private Sounds $sounds;

    public function __construct(Db $db, PhoneIndex $phones, Sounds $sounds)
    {
        $this->db = $db;
        $this->phones = $phones;
        $this->sounds = $sounds;
    }

    /**
     * @param array<string, mixed> $request
     * @return array<string, mixed>
     */
    public function __invoke(array $request, Connector $connector): array
    {
        $written = is_string($request['number'] ?? null) ? $request['number'] : '';
        $number = $this->phones->parse($written)->key();
        if (strlen($number) < 3) {
            throw new Refusal(400, 'bad_request', '"number" is no number.');
        }
        $calls = 0;
        $recordings = 0;
        do {
            $found = $this->db->rows(
                'SELECT callsid, recording_state FROM vtiger_calls WHERE call_connector = ? AND (client_e164 = ?'
                . ' OR client_number = ? OR client_number = ?) LIMIT ' . self::AT_ONCE,
                [$connector->id, $number, $number, $written]
            );
            foreach ($found as $row) {
                $recordings += $row['recording_state'] === 'ready' ? 1 : 0;
                $calls++;
            }
            $ids = array_map('intval', array_column($found, 'callsid'));
            $this->removeSounds($connector->id, $ids);
            $this->remove($ids);
        } while (count($found) === self::AT_ONCE);
        return ['number' => $number, 'calls' => $calls, 'recordings' => $recordings];
    }

    /** @param list<int> $ids */
    private function removeSounds(int $connectorId, array $ids): void
    {
        if ($ids === []) {
            return;
        }
        $marks = implode(', ', array_fill(0, count($ids), '?'));
        foreach ($this->db->rows("SELECT recordings FROM vtiger_calls_timeline WHERE crmid IN ($marks)", $ids) as $row) {
            $recordings = json_decode((string) $row['recordings'], true);
            $this->sounds->remove($connectorId, array_column(is_array($recordings) ? $recordings : [], 'id'));
        }
    }

    /** @param list<int> $ids */
    private function remove(array $ids): void
    {
        if ($ids === []) {
            return;
        }
        $marks = implode(', ', array_fill(0, count($ids), '?'));
        $this->db->execute(
            "UPDATE vtiger_calls_claim SET forgotten = 1, crmid = 0, party = '' WHERE crmid IN ($marks)",
            $ids
        );
        $this->db->execute(
            'DELETE d FROM vtiger_modtracker_detail d INNER JOIN vtiger_modtracker_basic b ON b.id = d.id'
            . " WHERE b.crmid IN ($marks)",
            $ids
        );
        $this->db->execute(
            'DELETE e FROM vtiger_crmentity e INNER JOIN vtiger_modcomments m ON m.modcommentsid = e.crmid'
            . " WHERE m.related_to IN ($marks)",
            $ids
        );
        $tables = [
            'vtiger_modtracker_basic' => 'crmid', 'vtiger_modcomments' => 'related_to', 'vtiger_calls_timeline' => 'crmid',
            'vtiger_calls_ringing' => 'crmid', 'vtiger_callscf' => 'callsid', 'vtiger_calls' => 'callsid',
            'vtiger_crmentity' => 'crmid',
        ];
        foreach ($tables as $table => $column) {
            $this->db->execute("DELETE FROM $table WHERE $column IN ($marks)", $ids);
        }
    }
}
