<?php

/** What a user group means on the exchange: connector, PBX, dialplan context and caller id, in an order of priority. */

declare(strict_types=1);

namespace PinCalls\Settings;

use PinCalls\Db;

class Groups
{
    private Db $db;
    /** @var list<array{group: int, name: string, priority: int, connector: int, pbx: string, context: string, caller_id: string}>|null */
    private ?array $rows = null;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    /** @return list<array{group: int, name: string, priority: int, connector: int, pbx: string, context: string, caller_id: string}> */
    public function all(): array
    {
        if ($this->rows === null) {
            $this->rows = array_map(static function (array $row): array {
                return [
                    'group' => (int) $row['groupid'], 'name' => (string) $row['groupname'],
                    'priority' => (int) $row['priority'], 'connector' => (int) $row['connector_id'],
                    'pbx' => (string) $row['pbx'], 'context' => (string) $row['context'],
                    'caller_id' => (string) $row['caller_id'],
                ];
            }, $this->db->rows(
                'SELECT g.groupid, g.groupname, s.priority, s.connector_id, s.pbx, s.context, s.caller_id'
                . ' FROM vtiger_calls_group s INNER JOIN vtiger_groups g ON g.groupid = s.groupid'
                . ' ORDER BY s.priority, s.groupid'
            ));
        }
        return $this->rows;
    }

    /**
     * The rows that apply to somebody of these groups, the deciding one first.
     *
     * @param list<int> $groupIds
     * @return list<array{group: int, name: string, priority: int, connector: int, pbx: string, context: string, caller_id: string}>
     */
    public function of(array $groupIds): array
    {
        return array_values(array_filter($this->all(), static function (array $row) use ($groupIds): bool {
            return in_array($row['group'], $groupIds, true);
        }));
    }

    public function set(
        int $groupId,
        int $priority,
        int $connectorId,
        string $pbx,
        string $context,
        string $callerId
    ): void {
        $this->db->execute(
            'INSERT INTO vtiger_calls_group (groupid, priority, connector_id, pbx, context, caller_id)'
            . ' VALUES (?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE priority = VALUES(priority),'
            . ' connector_id = VALUES(connector_id), pbx = VALUES(pbx), context = VALUES(context),'
            . ' caller_id = VALUES(caller_id)',
            [$groupId, $priority, $connectorId, $pbx, $context, $callerId]
        );
        $this->rows = null;
    }

    public function remove(int $groupId): void
    {
        $this->db->execute('DELETE FROM vtiger_calls_group WHERE groupid = ?', [$groupId]);
        $this->rows = null;
    }
}
