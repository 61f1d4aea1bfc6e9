<?php

require_once 'modules/Calls/dashboards/Chart.php';

/** A chart of the dashboard; which one is in its name (lib/Status/Figures). */
class Calls_CallsPerEmployee_Dashboard extends Calls_Chart_Dashboard
{
    protected function figures(): string
    {
        return 'CallsPerEmployee';
    }
}
