<?php

/** The group that calls belong to which belong to nobody. It is made again should somebody delete it: no call may be without owner. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;
use PinCalls\Settings\Settings;

final class DefaultGroup
{
    public const NAME = 'Звонки без ответственного';

    private Db $db;
    private Settings $settings;

    public function __construct(Db $db, Settings $settings)
    {
        $this->db = $db;
        $this->settings = $settings;
    }

    public function id(): int
    {
        $id = (int) $this->settings->get('default_group');
        if ($id > 0 && $this->db->rows('SELECT groupid FROM vtiger_groups WHERE groupid = ?', [$id]) !== []) {
            return $id;
        }
        $rows = $this->db->rows('SELECT groupid FROM vtiger_groups WHERE groupname = ?', [self::NAME]);
        $id = $rows === [] ? $this->make() : (int) $rows[0]['groupid'];
        $this->settings->set('default_group', $id);
        return $id;
    }

    private function make(): int
    {
        // Users and groups share one sequence, because either can own a record.
        $id = (int) \PearDatabase::getInstance()->getUniqueID('vtiger_users');
        $this->db->execute(
            'INSERT INTO vtiger_groups (groupid, groupname, description) VALUES (?, ?, ?)',
            [$id, self::NAME, 'Owns the calls that are nobody\'s (module Calls)']
        );
        return $id;
    }
}
