<?php

/**
 * Where a user sits, in a word that becomes another one when that changes: a page that still has the old one asks for its facts again.
 * Cheap, because every open page asks for it twice a minute.
 */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Db;

class Whereabouts
{
    private Db $db;
    private Seats $seats;

    public function __construct(Db $db, Seats $seats)
    {
        $this->db = $db;
        $this->seats = $seats;
    }

    public function of(int $userId): string
    {
        $rows = $this->db->rows(
            'SELECT phone_crm_extension, phone_mobile, status FROM vtiger_users WHERE id = ?',
            [$userId]
        );
        $own = array_column(UserFinder::extensions((string) ($rows[0]['phone_crm_extension'] ?? '')), 'extension');
        $seats = array_values(array_filter($this->seats->taken(), static function (array $seat) use ($userId, $own): bool {
            return $seat['userid'] === $userId || in_array($seat['extension'], $own, true);
        }));
        return substr(sha1((string) json_encode([$rows, $seats])), 0, 12);
    }
}
