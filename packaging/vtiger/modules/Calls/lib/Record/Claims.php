<?php

/**
 * The claim table: which vTiger record an id of a connector is, and which revision of it is stored, in which term of the
 * connector's lease (0: the connector stands alone). It stands beside the entity's table because a violated UNIQUE key there
 * would leave half a record behind and tell nobody.
 */

declare(strict_types=1);

namespace PinCalls\Record;

use PinCalls\Db;

class Claims
{
    private const LOCK_WAIT_SECONDS = 15;

    private Db $db;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    /**
     * @param list<string> $callIds
     * @return array<string, array{crmid: int, revision: int, term: int, auto_owner: int, forgotten: bool}> by call id
     */
    public function of(int $connectorId, array $callIds): array
    {
        if ($callIds === []) {
            return [];
        }
        $marks = implode(', ', array_fill(0, count($callIds), '?'));
        $rows = $this->db->rows(
            'SELECT call_id, crmid, revision, term, auto_owner, forgotten FROM vtiger_calls_claim'
            . " WHERE connector_id = ? AND call_id IN ($marks)",
            array_merge([$connectorId], $callIds)
        );
        $claims = [];
        foreach ($rows as $row) {
            $claims[(string) $row['call_id']] = [
                'crmid' => (int) $row['crmid'], 'revision' => (int) $row['revision'],
                'term' => (int) $row['term'], 'auto_owner' => (int) $row['auto_owner'], 'forgotten' => (bool) (int) $row['forgotten'],
            ];
        }
        return $claims;
    }

    public function write(int $connectorId, CallRecord $call, int $crmId, int $autoOwner): void
    {
        $this->db->execute(
            'INSERT INTO vtiger_calls_claim (connector_id, call_id, crmid, revision, term, conversation, party, auto_owner,'
            . ' forgotten) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) ON DUPLICATE KEY UPDATE crmid = VALUES(crmid),'
            . ' revision = VALUES(revision), term = VALUES(term), conversation = VALUES(conversation), party = VALUES(party),'
            . ' auto_owner = VALUES(auto_owner)',
            [
                $connectorId, $call->id, $crmId, $call->revision, $call->term, $call->conversation, $call->party(), $autoOwner,
            ]
        );
    }

    /** The record of the same phone in the same conversation, for a connector that began in mid-call; 0: none. */
    public function sameParty(int $connectorId, CallRecord $call): int
    {
        if ($call->party() === '') {
            return 0;
        }
        $rows = $this->db->rows(
            'SELECT crmid FROM vtiger_calls_claim WHERE connector_id = ? AND conversation = ? AND party = ?'
            . ' AND call_id <> ? AND crmid > 0 AND forgotten = 0 ORDER BY call_id LIMIT 1',
            [$connectorId, $call->conversation, $call->party(), $call->id]
        );
        return (int) ($rows[0]['crmid'] ?? 0);
    }

    /** One request at a time works at a call; the lock goes with the connection should PHP die. */
    public function lock(int $connectorId, string $callId): bool
    {
        $rows = $this->db->rows(
            'SELECT GET_LOCK(CONCAT(LEFT(MD5(DATABASE()), 8), ?), ?) AS got',
            [self::lockName($connectorId, $callId), self::LOCK_WAIT_SECONDS]
        );
        return (int) ($rows[0]['got'] ?? 0) === 1;
    }

    public function unlock(int $connectorId, string $callId): void
    {
        $this->db->rows(
            'SELECT RELEASE_LOCK(CONCAT(LEFT(MD5(DATABASE()), 8), ?)) AS released',
            [self::lockName($connectorId, $callId)]
        );
    }

    private static function lockName(int $connectorId, string $callId): string
    {
        return ':call:' . $connectorId . ':' . sha1($callId);
    }
}
