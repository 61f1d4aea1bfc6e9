<?php

/** Who stands in for whom: one deputy per user, chosen on the settings page. */

declare(strict_types=1);

namespace PinCalls\Settings;

use PinCalls\Db;

class Deputies
{
    private Db $db;
    /** @var array<int, int>|null */
    private ?array $deputies = null;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    /** @return int user id, 0 for nobody */
    public function of(int $userId): int
    {
        return $this->all()[$userId] ?? 0;
    }

    /** @return array<int, int> user to deputy */
    public function all(): array
    {
        if ($this->deputies === null) {
            $this->deputies = [];
            foreach ($this->db->rows('SELECT userid, deputyid FROM vtiger_calls_deputy') as $row) {
                $this->deputies[(int) $row['userid']] = (int) $row['deputyid'];
            }
        }
        return $this->deputies;
    }

    public function set(int $userId, int $deputyId): void
    {
        $this->db->execute('DELETE FROM vtiger_calls_deputy WHERE userid = ?', [$userId]);
        if ($deputyId > 0 && $deputyId !== $userId) {
            $this->db->execute('INSERT INTO vtiger_calls_deputy (userid, deputyid) VALUES (?, ?)', [$userId, $deputyId]);
        }
        $this->deputies = null;
    }
}
