<?php

/** When a Lead becomes a Contact (or an Account), his calls go with him. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;

final class LeadConversion
{
    private Db $db;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    /** @param \VTEntityData $lead as the event vtiger.lead.convertlead brings it, with what it became in `entityIds` */
    public function moveCalls(int $leadId, $lead): void
    {
        $became = isset($lead->entityIds) && is_array($lead->entityIds) ? $lead->entityIds : [];
        $target = $became['Contacts'] ?? ($became['Accounts'] ?? '');
        $targetId = (int) preg_replace('/^.*x/', '', (string) $target);
        if ($targetId === 0) {
            return;
        }
        foreach (['call_client', 'main_client'] as $column) {
            $this->db->execute("UPDATE vtiger_calls SET $column = ? WHERE $column = ?", [$targetId, $leadId]);
        }
    }
}
