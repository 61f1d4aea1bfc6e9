<?php

/** Letters to the administrators through vTiger's outgoing mail server. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;
use PinCalls\Status\Mailer;

final class AdminMail implements Mailer
{
    private Db $db;

    public function __construct(Db $db)
    {
        $this->db = $db;
    }

    public function toAdministrators(string $subject, string $body): bool
    {
        require_once 'modules/Emails/mail.php';
        $rows = $this->db->rows(
            "SELECT email1 FROM vtiger_users WHERE is_admin = 'on' AND status = 'Active' AND deleted = 0 AND email1 <> ''"
        );
        $addresses = array_column($rows, 'email1');
        if ($addresses === []) {
            return false;
        }
        $from = (string) vglobal('HELPDESK_SUPPORT_EMAIL_ID');
        $sent = send_mail('Calls', implode(',', $addresses), 'PINconnector', $from, $subject, nl2br($body));
        return (int) $sent === 1;
    }
}
